"""YAML and JSON text into values that know their line: of configurations and manifests alike."""

"""Kubeflow pipelines that order the steps of ``components``; each beside its compiled YAML."""

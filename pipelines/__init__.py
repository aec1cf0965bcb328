"""The room for the Kubeflow pipelines that order the steps of ``components``; none is here yet."""

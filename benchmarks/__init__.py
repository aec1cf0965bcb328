"""What is measured, and how. Dated results are in README.md."""

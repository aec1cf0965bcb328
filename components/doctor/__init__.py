"""Says what is so right now with a run's configuration, machine, models and store."""

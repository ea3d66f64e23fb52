"""The search: problem, space, workers, driver, finals."""

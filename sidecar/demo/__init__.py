"""The demo: a scratch project, scripted tasks, and a model and a worker that play them without an account."""

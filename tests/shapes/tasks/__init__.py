"""What tasks do with stock hooks; each module runs in a process of its own, on a worker with our backend."""

"""Where functions run: processes of this machine, the processes of torchrun, a Ray cluster."""

"""The recorder that watches any `Trainer`: which row is in which batch, what the model says of it, and how its gradient moves."""

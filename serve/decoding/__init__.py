"""The constraint of an answer applied to a model's logits, and its adapters to the libraries that generate."""

"""The domain of hangtag: values and rules, nothing heavier than numpy. It knows no model, engine, file server or web."""

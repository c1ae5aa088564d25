"""Classification: a picture -> its class, or the classes in it."""

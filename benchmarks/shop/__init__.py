"""The application that the decision path is measured with."""

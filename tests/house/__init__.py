"""The building code: rules of style that a test can say instead of a reviewer."""

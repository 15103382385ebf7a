"""The API's documentation (OpenAPI 3.1): what is said of each endpoint, and the document made of it."""

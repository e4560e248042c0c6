"""The stack: rules, a domain classifier, and for every domain one model for intent and slots."""

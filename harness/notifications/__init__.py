"""Notifications of a run by apprise and by signed webhooks, and the webhook that may refuse its experiments."""

"""The user's own load: an unchanged locustfile, run by Locust under the user's own Python interpreter."""

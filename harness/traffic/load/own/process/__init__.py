"""The programs that run under the user's own interpreter, where the harness and its dependencies may be missing.

They import only the standard library, gevent and Locust, and run on Python 3.10 and later. ``boot`` loads this folder
as the package ``resilience_locust``, so that no name in it can shadow a module of the user.
"""

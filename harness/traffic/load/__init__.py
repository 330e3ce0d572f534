"""Load by Locust: profiles, schedules, the driver and what it records."""

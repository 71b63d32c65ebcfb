from datetime import datetime, timedelta, timezone

from opentelemetry import trace

tracer = trace.get_tracer("home.activities")


class HomeActivities:
    @staticmethod
    def run(logger):
        logger.info("HomeActivities")
        with tracer.start_as_current_span("home-activites-mock-data"):
            span = trace.get_current_span()
            now = datetime.now(timezone.utc).astimezone()
            span.set_attribute("app.now", now.isoformat())
            results = [
                {"uuid": "68f126b0-1ceb-4a33-88be-d90fa7109eee", "handle": "Andrew Brown", "message": "Cloud is very fun!",
                 "created_at": (now - timedelta(days=2)).isoformat(), "expires_at": (now + timedelta(days=5)).isoformat()},
                {"uuid": "66e12864-8c26-4c3a-9658-95a10f8fea67", "handle": "Worf", "message": "I am out of prune juice",
                 "created_at": (now - timedelta(days=7)).isoformat(), "expires_at": (now + timedelta(days=9)).isoformat()},
                {"uuid": "248959df-3079-4947-b847-9e0892d1bab4", "handle": "Garek", "message": "My dear doctor, I am just simple tailor",
                 "created_at": (now - timedelta(hours=1)).isoformat(), "expires_at": (now + timedelta(hours=12)).isoformat()},
            ]
            span.set_attribute("app.result_length", len(results))
            return results

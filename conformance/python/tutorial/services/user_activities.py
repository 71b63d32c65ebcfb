from datetime import datetime, timedelta

from aws_xray_sdk.core import xray_recorder


class UserActivities:
    @staticmethod
    def run(user_handle):
        try:
            model = {"errors": None, "data": None}
            now = datetime.now()
            if user_handle is None or len(user_handle) < 1:
                model["errors"] = ["blank_user_handle"]
            else:
                model["data"] = [{"uuid": "248959df-3079-4947-b847-9e0892d1bab4", "handle": "Andrew Brown", "message": "Cloud is fun!",
                                  "created_at": (now - timedelta(days=1)).isoformat(), "expires_at": (now + timedelta(days=31)).isoformat()}]
            subsegment = xray_recorder.begin_subsegment("mock-data")
            subsegment.put_metadata("key", {"now": now.isoformat(), "results-size": len(model["data"])}, "namespace")
            xray_recorder.end_subsegment()
        finally:
            # The tutorial closes it twice; the second time ends the decorator's subsegment early.
            xray_recorder.end_subsegment()
        return model

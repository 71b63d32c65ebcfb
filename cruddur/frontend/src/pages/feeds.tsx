import { Link, useSearchParams } from "react-router";
import type { Activity } from "../api";
import { ActivityFeed } from "../components/activities";
import { Avatar } from "../components/feedback";
import { JoinSection, Layout } from "../components/layout";
import { useLoad } from "../hooks";
import { useSession } from "../session";

export function HomeFeedPage() {
  const [params] = useSearchParams();
  const term = params.get("q") ?? "";
  const load = useLoad<Activity[]>(term ? `/api/activities/search?term=${encodeURIComponent(term)}` : "/api/activities/home");
  return (
    <Layout title={term ? `Search: ${term}` : "Home"} crud={term ? undefined : (a) => load.change((all) => [a, ...all])}>
      {term && (
        <p className="back">
          <Link to="/">All cruds</Link>
        </p>
      )}
      <ActivityFeed load={load} empty={term ? `Nothing holds “${term}”.` : "Nothing here yet."} />
    </Layout>
  );
}

export function NotificationsFeedPage() {
  const { user } = useSession();
  const load = useLoad<Activity[]>("/api/activities/notifications");
  return (
    <Layout title="Notifications">
      {user ? <ActivityFeed load={load} empty="You have no notifications." /> : <JoinSection />}
    </Layout>
  );
}

export function UserFeedPage({ handle }: { handle: string }) {
  const load = useLoad<Activity[]>(`/api/activities/@${encodeURIComponent(handle)}`);
  const { user } = useSession();
  const name = user?.handle === handle ? user.name : handle;
  return (
    <Layout title={name} crud={user?.handle === handle ? (a) => load.change((all) => [a, ...all]) : undefined}>
      <div className="profile">
        <Avatar name={name} />
        <p className="handle">@{handle}</p>
      </div>
      <ActivityFeed load={load} empty={`@${handle} has not said anything yet.`} />
    </Layout>
  );
}

export function NotFoundPage() {
  return (
    <Layout title="Not found">
      <p className="empty">
        There is no such page. <Link to="/">Go home</Link>
      </p>
    </Layout>
  );
}

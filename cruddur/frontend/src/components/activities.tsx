import { type ReactNode, useState } from "react";
import { Link } from "react-router";
import { type Activity, post } from "../api";
import { type Load, useSubmit } from "../hooks";
import { left, precise } from "../time";
import { Ago, Avatar, Counter, Dialog, Empty, ErrorNote, fits, Skeleton } from "./feedback";
import { ClockIcon, LikeIcon, ReplyIcon, RepostIcon, ShareIcon } from "./icons";

const postLimit = 280;
const replyLimit = 1024;

export function ActivityFeed({ load, empty }: { load: Load<Activity[]>; empty: string }) {
  const [replying, setReplying] = useState<Activity>();
  const replied = (to: Activity, reply: Activity) => {
    load.change((all) =>
      all.map((a) =>
        a === to || a.replies?.includes(to)
          ? { ...a, replies: [...(a.replies ?? []), reply], replies_count: (a.replies_count ?? a.replies?.length ?? 0) + 1 }
          : a,
      ),
    );
    setReplying(undefined);
  };
  if (load.loading) return <Skeleton />;
  return (
    <>
      <ErrorNote error={load.error} retry={load.reload} />
      {load.data?.length === 0 && <Empty>{empty}</Empty>}
      <ol className="feed">
        {load.data?.map((a) => (
          <ActivityItem key={a.uuid + a.handle} activity={a} reply={setReplying} />
        ))}
      </ol>
      {replying && <ReplyForm activity={replying} done={(r) => replied(replying, r)} close={() => setReplying(undefined)} />}
    </>
  );
}

export function ActivityItem({ activity, reply }: { activity: Activity; reply: (a: Activity) => void }) {
  return (
    <li className="activity">
      <article>
        <ActivityContent activity={activity}>
          <div className="actions">
            <ActivityActionReply count={activity.replies_count ?? 0} reply={() => reply(activity)} />
            <ActivityActionRepost count={activity.reposts_count ?? 0} />
            <ActivityActionLike count={activity.likes_count ?? 0} />
            <ActivityActionShare activity={activity} />
          </div>
        </ActivityContent>
      </article>
      {activity.replies && activity.replies.length > 0 && (
        <ol className="replies" aria-label="Replies">
          {activity.replies.map((r) => (
            <ActivityItem key={r.uuid} activity={r} reply={reply} />
          ))}
        </ol>
      )}
    </li>
  );
}

export function ActivityContent({ activity, children }: { activity: Activity; children?: ReactNode }) {
  const name = activity.display_name ?? activity.handle;
  return (
    <div className="content">
      <Avatar name={name} />
      <div className="body">
        <div className="meta">
          <Link className="name" to={`/@${encodeURIComponent(activity.handle)}`}>
            {name}
          </Link>
          <span className="handle">@{activity.handle}</span>
          <Ago iso={activity.created_at} />
          {activity.expires_at && (
            <span className="expires" title={`Expires ${precise(activity.expires_at)}`}>
              <ClockIcon />
              <span className="hidden">Expires in </span>
              {left(activity.expires_at)}
            </span>
          )}
        </div>
        <p className="text">{activity.message}</p>
        {children}
      </div>
    </div>
  );
}

function counted(label: string, count: number): string {
  return count > 0 ? `${label}, ${count}` : label;
}

export function ActivityActionReply({ count, reply }: { count: number; reply: () => void }) {
  return (
    <button type="button" className="action" aria-label={counted("Reply", count)} onClick={reply}>
      <ReplyIcon />
      {count > 0 && <span>{count}</span>}
    </button>
  );
}

// The backend keeps no reposts and likes: they last until the page is left.
function Toggle({ label, kind, count, children }: { label: string; kind: string; count: number; children: ReactNode }) {
  const [on, setOn] = useState(false);
  const shown = count + (on ? 1 : 0);
  return (
    <button type="button" className={`action ${kind}`} aria-label={counted(label, shown)} aria-pressed={on} onClick={() => setOn(!on)}>
      {children}
      {shown > 0 && <span>{shown}</span>}
    </button>
  );
}

export function ActivityActionRepost({ count }: { count: number }) {
  return <Toggle label="Repost" kind="repost" count={count}><RepostIcon /></Toggle>;
}

export function ActivityActionLike({ count }: { count: number }) {
  return <Toggle label="Like" kind="like" count={count}><LikeIcon /></Toggle>;
}

export function ActivityActionShare({ activity }: { activity: Activity }) {
  const [note, setNote] = useState("");
  const copy = () => {
    const url = `${location.origin}/@${encodeURIComponent(activity.handle)}`;
    // The clipboard exists only on secure origins, and may refuse.
    Promise.resolve(navigator.clipboard?.writeText(url))
      .then(() => setNote(navigator.clipboard ? "Link copied" : url))
      .catch(() => setNote(url));
  };
  return (
    <button type="button" className="action" aria-label="Share" onClick={copy}>
      <ShareIcon />
      <span role="status">{note}</span>
    </button>
  );
}

const ttls = [
  ["30-days", "30 days"],
  ["7-days", "7 days"],
  ["3-days", "3 days"],
  ["1-day", "1 day"],
  ["12-hours", "12 hours"],
  ["3-hours", "3 hours"],
  ["1-hour", "1 hour"],
] as const;

export function ActivityForm({ done, close }: { done: (a: Activity) => void; close: () => void }) {
  const [message, setMessage] = useState("");
  const [ttl, setTtl] = useState("7-days");
  const { submit, busy, error } = useSubmit(async () => done(await post<Activity>("/api/activities", { message, ttl })));
  return (
    <Dialog title="New crud" close={close}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          submit();
        }}
      >
        <label className="hidden" htmlFor="crud-text">
          What would you like to say?
        </label>
        <textarea id="crud-text" value={message} placeholder="What would you like to say?" rows={5} onChange={(e) => setMessage(e.target.value)} />
        <ErrorNote error={error} />
        <footer>
          <label className="ttl">
            <ClockIcon />
            <span className="hidden">Expires after</span>
            <select value={ttl} onChange={(e) => setTtl(e.target.value)}>
              {ttls.map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <Counter text={message} limit={postLimit} />
          <button type="submit" className="primary" disabled={busy || !fits(message, postLimit)}>
            Crud
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

export function ReplyForm({ activity, done, close }: { activity: Activity; done: (a: Activity) => void; close: () => void }) {
  const [message, setMessage] = useState("");
  const path = `/api/activities/${encodeURIComponent(activity.uuid)}/reply`;
  const { submit, busy, error } = useSubmit(async () => done(await post<Activity>(path, { message })));
  return (
    <Dialog title="Reply" close={close}>
      <div className="quoted">
        <ActivityContent activity={activity} />
      </div>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          submit();
        }}
      >
        <label className="hidden" htmlFor="reply-text">
          Your reply
        </label>
        <textarea id="reply-text" value={message} placeholder="What is your reply?" rows={4} onChange={(e) => setMessage(e.target.value)} />
        <ErrorNote error={error} />
        <footer>
          <Counter text={message} limit={replyLimit} />
          <button type="submit" className="primary" disabled={busy || !fits(message, replyLimit)}>
            Reply
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

import { useState } from "react";
import { NavLink } from "react-router";
import { type Message, type MessageGroup, post } from "../api";
import { type Load, useSubmit } from "../hooks";
import { Ago, Avatar, Counter, Empty, ErrorNote, fits, Skeleton } from "./feedback";

const messageLimit = 1024;

export function MessageGroupFeed({ load }: { load: Load<MessageGroup[]> }) {
  if (load.loading) return <Skeleton rows={2} />;
  return (
    <>
      <ErrorNote error={load.error} retry={load.reload} />
      {load.data?.length === 0 && <Empty>You have no conversations yet.</Empty>}
      <ul className="groups">
        {load.data?.map((g) => (
          <MessageGroupItem key={g.uuid} group={g} />
        ))}
      </ul>
    </>
  );
}

export function MessageGroupItem({ group }: { group: MessageGroup }) {
  return (
    <li>
      <NavLink className="group" to={`/messages/@${encodeURIComponent(group.handle)}`}>
        <Avatar name={group.display_name} />
        <span className="body">
          <span className="name">{group.display_name}</span>
          <span className="handle">@{group.handle}</span>
        </span>
        <Ago iso={group.created_at} />
      </NavLink>
    </li>
  );
}

export function MessageFeed({ load, handle }: { load: Load<Message[]>; handle: string }) {
  if (load.loading) return <Skeleton rows={2} />;
  return (
    <>
      <ErrorNote error={load.error} retry={load.reload} />
      {load.data?.length === 0 && <Empty>No messages with @{handle} yet. Write the first one.</Empty>}
      <ol className="messages" aria-live="polite">
        {load.data?.map((m) => (
          <MessageItem key={m.uuid} message={m} />
        ))}
      </ol>
    </>
  );
}

export function MessageItem({ message }: { message: Message }) {
  return (
    <li className="content">
      <Avatar name={message.display_name} />
      <div className="body">
        <div className="meta">
          <span className="name">{message.display_name}</span>
          <span className="handle">@{message.handle}</span>
          <Ago iso={message.created_at} />
        </div>
        <p className="text">{message.message}</p>
      </div>
    </li>
  );
}

export function MessageForm({ handle, done }: { handle: string; done: (m: Message) => void }) {
  const [message, setMessage] = useState("");
  const { submit, busy, error } = useSubmit(async () => {
    done(await post<Message>("/api/messages", { message, user_receiver_handle: handle }));
    setMessage("");
  });
  return (
    <form
      className="message-form"
      onSubmit={(e) => {
        e.preventDefault();
        submit();
      }}
    >
      <ErrorNote error={error} />
      <label className="hidden" htmlFor="message-text">
        Message to @{handle}
      </label>
      <textarea id="message-text" value={message} placeholder={`Message @${handle}`} rows={2} onChange={(e) => setMessage(e.target.value)} />
      <footer>
        <Counter text={message} limit={messageLimit} />
        <button type="submit" className="primary" disabled={busy || !fits(message, messageLimit)}>
          Send
        </button>
      </footer>
    </form>
  );
}

import { Link } from "react-router";
import type { Message, MessageGroup } from "../api";
import { JoinSection, Layout } from "../components/layout";
import { MessageFeed, MessageForm, MessageGroupFeed } from "../components/messages";
import { useLoad } from "../hooks";
import { useSession } from "../session";

export function MessageGroupsPage() {
  const { user } = useSession();
  const groups = useLoad<MessageGroup[]>("/api/message_groups");
  return <Layout title="Messages">{user ? <MessageGroupFeed load={groups} /> : <JoinSection />}</Layout>;
}

export function MessageGroupPage({ handle }: { handle: string }) {
  const { user } = useSession();
  const groups = useLoad<MessageGroup[]>("/api/message_groups");
  const messages = useLoad<Message[]>(`/api/messages/@${encodeURIComponent(handle)}`);
  const name = groups.data?.find((g) => g.handle === handle)?.display_name ?? handle;
  if (!user) {
    return (
      <Layout title="Messages">
        <JoinSection />
      </Layout>
    );
  }
  return (
    <Layout title={name}>
      <p className="back">
        <Link to="/messages">All messages</Link>
      </p>
      <MessageFeed load={messages} handle={handle} />
      {messages.data && <MessageForm handle={handle} done={(m) => messages.change((all) => [...all, m])} />}
    </Layout>
  );
}

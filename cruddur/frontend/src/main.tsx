import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter, Route, Routes, useParams } from "react-router";
import { ConfirmationPage, RecoverPage, SigninPage, SignupPage } from "./pages/account";
import { HomeFeedPage, NotFoundPage, NotificationsFeedPage, UserFeedPage } from "./pages/feeds";
import { MessageGroupPage, MessageGroupsPage } from "./pages/messages";
import { SessionProvider } from "./session";
import "./styles.css";

// The router matches whole path segments only, so "@" is checked here.
function useHandle(): string | undefined {
  const { at } = useParams();
  return at?.startsWith("@") && at.length > 1 ? at.slice(1) : undefined;
}

function User() {
  const handle = useHandle();
  return handle ? <UserFeedPage key={handle} handle={handle} /> : <NotFoundPage />;
}

function Conversation() {
  const handle = useHandle();
  return handle ? <MessageGroupPage key={handle} handle={handle} /> : <NotFoundPage />;
}

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <SessionProvider>
        <BrowserRouter>
          <Routes>
            <Route path="/" element={<HomeFeedPage />} />
            <Route path="/notifications" element={<NotificationsFeedPage />} />
            <Route path="/messages" element={<MessageGroupsPage />} />
            <Route path="/messages/:at" element={<Conversation />} />
            <Route path="/signup" element={<SignupPage />} />
            <Route path="/signin" element={<SigninPage />} />
            <Route path="/confirm" element={<ConfirmationPage />} />
            <Route path="/forgot" element={<RecoverPage />} />
            <Route path="/:at" element={<User />} />
            <Route path="*" element={<NotFoundPage />} />
          </Routes>
        </BrowserRouter>
      </SessionProvider>
    </StrictMode>,
  );
}

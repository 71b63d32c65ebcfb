import { createContext, type ReactNode, useContext, useState } from "react";

// Signing in is a mock, as in the tutorial: the backend knows one user. Only
// the profile is kept, in this browser; passwords are never stored or sent.

export interface Account {
  name: string;
  handle: string;
  email: string;
  confirmed: boolean;
}

export const demoAccount: Account = {
  name: "Andrew Brown",
  handle: "andrewbrown",
  email: "andrew@cruddur.test",
  confirmed: true,
};

export const confirmationCode = "1234";

interface Stored {
  account: Account;
  signedIn: boolean;
}

interface Session extends Stored {
  user: Account | undefined;
  signUp: (account: Account) => void;
  signIn: (email: string) => string | undefined;
  confirm: (email: string, code: string) => string | undefined;
  signOut: () => void;
  knows: (email: string) => boolean;
}

const key = "cruddur.session";

function read(): Stored {
  try {
    const text = localStorage.getItem(key);
    if (text) return JSON.parse(text) as Stored;
  } catch {
    // Storage may be forbidden or hold something foreign: begin anew.
  }
  return { account: demoAccount, signedIn: false };
}

const Context = createContext<Session | undefined>(undefined);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [stored, setStored] = useState(read);
  const save = (next: Stored) => {
    setStored(next);
    try {
      localStorage.setItem(key, JSON.stringify(next));
    } catch {
      // Without storage the session lasts until the page is left.
    }
  };
  const find = (email: string): Account | undefined =>
    [stored.account, demoAccount].find((a) => a.email.toLowerCase() === email.trim().toLowerCase());
  const session: Session = {
    ...stored,
    user: stored.signedIn ? stored.account : undefined,
    knows: (email) => find(email) !== undefined,
    signUp: (account) => save({ account, signedIn: false }),
    signIn: (email) => {
      const account = find(email);
      if (!account) return "There is no account with this email. Join first, or use the demo account.";
      if (!account.confirmed) return "Confirm your email first.";
      save({ account, signedIn: true });
      return undefined;
    },
    confirm: (email, code) => {
      const account = find(email);
      if (!account) return "There is no account with this email.";
      if (code.trim() !== confirmationCode) return "That is not the code.";
      save({ account: { ...account, confirmed: true }, signedIn: true });
      return undefined;
    },
    signOut: () => save({ ...stored, signedIn: false }),
  };
  return <Context value={session}>{children}</Context>;
}

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("useSession outside SessionProvider");
  return session;
}

import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { Link, NavLink, useLocation, useNavigate, useSearchParams } from "react-router";
import type { Activity } from "../api";
import { useTitle } from "../hooks";
import { useSession } from "../session";
import { ActivityForm } from "./activities";
import { Avatar } from "./feedback";
import { HomeIcon, LogoIcon, MessagesIcon, MoreIcon, NotificationsIcon, ProfileIcon, SearchIcon } from "./icons";

/** The frame of every page that is not a form of its own. */
export function Layout({ title, crud, children }: { title: string; crud?: (a: Activity) => void; children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { pathname } = useLocation();
  useTitle(title);
  // Keyboard and screen reader users start at the new page's heading.
  useEffect(() => {
    if (pathname) heading.current?.focus({ preventScroll: true });
  }, [pathname]);
  return (
    <div className="layout">
      <a className="skip" href="#main">
        Skip to content
      </a>
      <DesktopNavigation crud={crud} />
      <main id="main">
        <header className="title">
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
        </header>
        {children}
      </main>
      <DesktopSidebar />
    </div>
  );
}

export function DesktopNavigation({ crud }: { crud?: (a: Activity) => void }) {
  const { user } = useSession();
  return (
    <nav className="navigation" aria-label="Main">
      <Link className="logo" to="/" aria-label="Cruddur">
        <LogoIcon />
        <span>Cruddur</span>
      </Link>
      <DesktopNavigationLink to="/" label="Home" icon={<HomeIcon />} />
      {user && (
        <>
          <DesktopNavigationLink to="/notifications" label="Notifications" icon={<NotificationsIcon />} />
          <DesktopNavigationLink to="/messages" label="Messages" icon={<MessagesIcon />} />
          <DesktopNavigationLink to={`/@${encodeURIComponent(user.handle)}`} label="Profile" icon={<ProfileIcon />} />
        </>
      )}
      <More />
      {user && <CrudButton crud={crud} />}
      {user && <ProfileInfo />}
    </nav>
  );
}

export function DesktopNavigationLink({ to, label, icon }: { to: string; label: string; icon: ReactNode }) {
  return (
    <NavLink className="nav-link" to={to} end={to === "/"} aria-label={label}>
      {icon}
      <span>{label}</span>
    </NavLink>
  );
}

function More() {
  const { user, signOut } = useSession();
  return (
    <details className="more">
      <summary className="nav-link" aria-label="More">
        <MoreIcon />
        <span>More</span>
      </summary>
      <ul>
        {user ? (
          <li>
            <button type="button" onClick={signOut}>
              Sign out
            </button>
          </li>
        ) : (
          <>
            <li>
              <Link to="/signup">Join now</Link>
            </li>
            <li>
              <Link to="/signin">Sign in</Link>
            </li>
          </>
        )}
      </ul>
    </details>
  );
}

export function CrudButton({ crud }: { crud?: (a: Activity) => void }) {
  const [open, setOpen] = useState(false);
  const navigate = useNavigate();
  const done = (a: Activity) => {
    setOpen(false);
    if (crud) crud(a);
    else void navigate("/");
  };
  return (
    <>
      <button type="button" className="primary crud" onClick={() => setOpen(true)}>
        Crud
      </button>
      {open && <ActivityForm done={done} close={() => setOpen(false)} />}
    </>
  );
}

export function ProfileInfo() {
  const { user, signOut } = useSession();
  if (!user) return null;
  return (
    <div className="profile-info">
      <Avatar name={user.name} />
      <span className="body">
        <span className="name">{user.name}</span>
        <span className="handle">@{user.handle}</span>
      </span>
      <button type="button" className="quiet" onClick={signOut}>
        Sign out
      </button>
    </div>
  );
}

export function DesktopSidebar() {
  const { user } = useSession();
  return (
    <aside className="sidebar" aria-label="Search and suggestions">
      <Search />
      {user ? (
        <>
          <TrendingsSection />
          <SuggestedUsersSection />
        </>
      ) : (
        <JoinSection />
      )}
    </aside>
  );
}

export function Search() {
  const [params] = useSearchParams();
  const [term, setTerm] = useState(params.get("q") ?? "");
  const navigate = useNavigate();
  const submit = (e: FormEvent) => {
    e.preventDefault();
    void navigate(term ? `/?q=${encodeURIComponent(term)}` : "/");
  };
  return (
    <form className="search" role="search" onSubmit={submit}>
      <SearchIcon />
      <input type="search" aria-label="Search cruds" placeholder="Search Cruddur" value={term} onChange={(e) => setTerm(e.target.value)} />
    </form>
  );
}

const trends: [string, number][] = [
  ["100DaysOfCloud", 2053],
  ["CloudProject", 8253],
  ["AWS", 9053],
  ["FreeWillyReboot", 7753],
];

export function TrendingsSection() {
  return (
    <section className="card" aria-labelledby="trending">
      <h2 id="trending">Trending</h2>
      <ul>
        {trends.map(([hashtag, count]) => (
          <TrendItem key={hashtag} hashtag={hashtag} count={count} />
        ))}
      </ul>
    </section>
  );
}

export function TrendItem({ hashtag, count }: { hashtag: string; count: number }) {
  return (
    <li>
      <Link className="trend" to={`/?q=${encodeURIComponent(hashtag)}`}>
        <span className="name">#{hashtag}</span>
        <span className="handle">{count.toLocaleString()} cruds</span>
      </Link>
    </li>
  );
}

export function SuggestedUsersSection() {
  return (
    <section className="card" aria-labelledby="suggested">
      <h2 id="suggested">Suggested users</h2>
      <ul>
        <SuggestedUserItem name="Andrew Brown" handle="andrewbrown" />
      </ul>
    </section>
  );
}

export function SuggestedUserItem({ name, handle }: { name: string; handle: string }) {
  return (
    <li>
      <Link className="suggested" to={`/@${handle}`}>
        <Avatar name={name} />
        <span className="body">
          <span className="name">{name}</span>
          <span className="handle">@{handle}</span>
        </span>
      </Link>
    </li>
  );
}

export function JoinSection() {
  return (
    <section className="card join" aria-labelledby="join">
      <h2 id="join">Join the party!</h2>
      <p>Have something you want to say? Do not think about it, just crud it. Regret it? We have you covered: it expires.</p>
      <Link className="primary" to="/signup">
        Join now
      </Link>
      <Link className="secondary" to="/signin">
        Sign in
      </Link>
    </section>
  );
}

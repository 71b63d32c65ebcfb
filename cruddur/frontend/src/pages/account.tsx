import { type FormEvent, type HTMLInputAutoCompleteAttribute, type ReactNode, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { LogoIcon } from "../components/icons";
import { useTitle } from "../hooks";
import { confirmationCode, demoAccount, useSession } from "../session";

function Frame({ title, error, submit, action, children, links }: {
  title: string;
  error?: string;
  submit: () => void;
  action: string;
  children: ReactNode;
  links: ReactNode;
}) {
  useTitle(title);
  return (
    <main className="account">
      <Link className="logo" to="/" aria-label="Cruddur, home">
        <LogoIcon />
        <span>Cruddur</span>
      </Link>
      <form
        onSubmit={(e: FormEvent) => {
          e.preventDefault();
          submit();
        }}
      >
        <h1>{title}</h1>
        {children}
        {error && (
          <p className="error" role="alert">
            {error}
          </p>
        )}
        <button type="submit" className="primary">
          {action}
        </button>
      </form>
      <p className="links">{links}</p>
    </main>
  );
}

function Field({ label, type = "text", value, change, autoComplete, hint }: {
  label: string;
  type?: "text" | "email" | "password";
  value: string;
  change: (v: string) => void;
  autoComplete: HTMLInputAutoCompleteAttribute;
  hint?: string;
}) {
  return (
    <label className="field">
      <span>{label}</span>
      <input type={type} value={value} required autoComplete={autoComplete} onChange={(e) => change(e.target.value)} />
      {hint && <small>{hint}</small>}
    </label>
  );
}

const noPassword = "Any password will do: this is a demo, and it is neither stored nor sent.";

export function SignupPage() {
  const { signUp } = useSession();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [handle, setHandle] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<string>();
  const submit = () => {
    if (!/^[a-z0-9_]{2,30}$/i.test(handle)) {
      setError("A username has 2 to 30 letters, digits or underscores.");
      return;
    }
    signUp({ name: name.trim(), handle, email: email.trim(), confirmed: false });
    void navigate(`/confirm?email=${encodeURIComponent(email.trim())}`);
  };
  return (
    <Frame title="Sign up to create a Cruddur account" action="Sign up" error={error} submit={submit} links={<>Already have an account? <Link to="/signin">Sign in</Link></>}>
      <Field label="Name" value={name} change={setName} autoComplete="name" />
      <Field label="Email" type="email" value={email} change={setEmail} autoComplete="email" />
      <Field label="Username" value={handle} change={setHandle} autoComplete="username" />
      <Field label="Password" type="password" value={password} change={setPassword} autoComplete="new-password" hint={noPassword} />
    </Frame>
  );
}

export function SigninPage() {
  const { account, signIn } = useSession();
  const navigate = useNavigate();
  const [email, setEmail] = useState(account.email);
  const [password, setPassword] = useState("");
  const [error, setError] = useState<string>();
  const submit = () => {
    const problem = signIn(email);
    setError(problem);
    if (!problem) void navigate("/");
  };
  return (
    <Frame
      title="Sign in to your Cruddur account"
      action="Sign in"
      error={error}
      submit={submit}
      links={<>No account yet? <Link to="/signup">Sign up</Link> · <Link to="/forgot">Forgot password?</Link></>}
    >
      <Field label="Email" type="email" value={email} change={setEmail} autoComplete="email" hint={`The demo account is ${demoAccount.email}.`} />
      <Field label="Password" type="password" value={password} change={setPassword} autoComplete="current-password" hint={noPassword} />
    </Frame>
  );
}

export function ConfirmationPage() {
  const [params] = useSearchParams();
  const { confirm } = useSession();
  const navigate = useNavigate();
  const [email, setEmail] = useState(params.get("email") ?? "");
  const [code, setCode] = useState("");
  const [error, setError] = useState<string>();
  const submit = () => {
    const problem = confirm(email, code);
    setError(problem);
    if (!problem) void navigate("/");
  };
  return (
    <Frame title="Confirm your email" action="Confirm email" error={error} submit={submit} links={<Link to="/signin">Back to sign in</Link>}>
      <Field label="Email" type="email" value={email} change={setEmail} autoComplete="email" />
      <Field label="Confirmation code" value={code} change={setCode} autoComplete="one-time-code" hint={`No mail is sent. The code is ${confirmationCode}.`} />
    </Frame>
  );
}

export function RecoverPage() {
  const { knows } = useSession();
  const [step, setStep] = useState<"email" | "code" | "done">("email");
  const [email, setEmail] = useState("");
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [error, setError] = useState<string>();
  const back = <Link to="/signin">Back to sign in</Link>;
  const navigate = useNavigate();
  if (step === "email") {
    const submit = () => {
      const known = knows(email);
      setError(known ? undefined : "There is no account with this email.");
      if (known) setStep("code");
    };
    return (
      <Frame title="Recover your password" action="Send recovery code" error={error} submit={submit} links={back}>
        <Field key="email" label="Email" type="email" value={email} change={setEmail} autoComplete="email" />
      </Frame>
    );
  }
  if (step === "code") {
    const submit = () => {
      const problem = code.trim() !== confirmationCode ? "That is not the code." : password !== again ? "The passwords differ." : undefined;
      setError(problem);
      if (!problem) setStep("done");
    };
    return (
      <Frame title="Recover your password" action="Reset password" error={error} submit={submit} links={back}>
        <Field key="code" label="Recovery code" value={code} change={setCode} autoComplete="one-time-code" hint={`No mail is sent. The code is ${confirmationCode}.`} />
        <Field key="new" label="New password" type="password" value={password} change={setPassword} autoComplete="new-password" hint={noPassword} />
        <Field key="again" label="New password again" type="password" value={again} change={setAgain} autoComplete="new-password" />
      </Frame>
    );
  }
  return (
    <Frame title="Your password has been reset" action="Go to sign in" submit={() => void navigate("/signin")} links={<Link to="/">Home</Link>}>
      <p>You can sign in again.</p>
    </Frame>
  );
}

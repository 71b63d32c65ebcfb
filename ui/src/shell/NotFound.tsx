import { type ErrorComponentProps, Link, useRouter } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { Empty, Problem } from "../kit";

/** The page of an address that means nothing here. */
export function NotFound() {
  return (
    <>
      <h1 className="sr">Page not found</h1>
      <Empty
        icon={<Compass size={18} aria-hidden />}
        title="There is no such page"
        actions={
          <Link to="/" className="btn">
            Go home
          </Link>
        }
      >
        Addresses of traces in Honeycomb, the X-Ray console and CloudWatch Logs open here too, if they carry an id.
      </Empty>
    </>
  );
}

/** A page that broke. */
export function PageError({ error }: ErrorComponentProps) {
  const router = useRouter();
  return (
    <>
      <h1 className="sr">Something broke</h1>
      <Problem
        error={error instanceof Error ? error : new Error(String(error))}
        title="This page broke"
        retry={() => void router.invalidate()}
      />
    </>
  );
}

import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
  retainSearchParams,
} from "@tanstack/react-router";
import { type Place, placeOfHash, placeOfPath } from "./shell/deeplink";
import { NotFound, PageError } from "./shell/NotFound";
import { Shell } from "./shell/Shell";

/** All search params are plain text; an absent one is undefined. */
function texts<K extends string>(...names: K[]) {
  return (search: Record<string, unknown>): { [N in K]?: string } => {
    const out: { [N in K]?: string } = {};
    for (const name of names) {
      const value = search[name];
      if (typeof value === "string" && value !== "") out[name] = value;
    }
    return out;
  };
}

function open(place: Place): never {
  if (place.to === "trace")
    throw redirect({
      to: "/traces/$id",
      params: { id: place.id },
      search: { span: place.span },
      hash: "",
      replace: true,
    });
  if (place.to === "group")
    throw redirect({
      to: "/logs/groups/$group",
      params: { group: place.group },
      search: { stream: place.stream },
      hash: "",
      replace: true,
    });
  throw redirect({ to: "/q/$dataset", params: { dataset: place.dataset }, hash: "", replace: true });
}

const rangeSearch: (search: Record<string, unknown>) => { t?: string } = texts("t");

const root = createRootRoute({
  component: Shell,
  validateSearch: rangeSearch,
  search: { middlewares: [retainSearchParams<{ t?: string }>(["t"])] },
  beforeLoad: ({ location }) => {
    const place = placeOfHash(location.hash);
    if (place) open(place);
  },
  notFoundComponent: NotFound,
});

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("./home/HomePage"), "HomePage"),
});
const traces = createRoute({
  getParentRoute: () => root,
  path: "/traces",
  validateSearch: texts("filter"),
  component: lazyRouteComponent(() => import("./traces/TracesPage"), "TracesPage"),
});
const trace = createRoute({
  getParentRoute: () => root,
  path: "/traces/$id",
  validateSearch: texts("span", "tab", "find", "shut", "zoom", "hide", "path"),
  component: lazyRouteComponent(() => import("./traces/TracePage"), "TracePage"),
});
const logs = createRoute({
  getParentRoute: () => root,
  path: "/logs",
  validateSearch: texts("prefix"),
  component: lazyRouteComponent(() => import("./logs/GroupsPage"), "GroupsPage"),
});
const group = createRoute({
  getParentRoute: () => root,
  path: "/logs/groups/$group",
  validateSearch: texts("stream", "filter", "order", "event"),
  component: lazyRouteComponent(() => import("./logs/GroupPage"), "GroupPage"),
});
const map = createRoute({
  getParentRoute: () => root,
  path: "/map",
  validateSearch: texts("filter", "node", "view"),
  component: lazyRouteComponent(() => import("./map/MapPage"), "MapPage"),
});
const anyQuery = createRoute({
  getParentRoute: () => root,
  path: "/q",
  beforeLoad: () => {
    throw redirect({ to: "/q/$dataset", params: { dataset: "__all__" }, replace: true });
  },
});
const query = createRoute({
  getParentRoute: () => root,
  path: "/q/$dataset",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./query/QueryPage"), "QueryPage"),
});
const elsewhere = createRoute({
  getParentRoute: () => root,
  path: "/$",
  beforeLoad: ({ location }) => {
    const place = placeOfPath(location.pathname, new URLSearchParams(location.searchStr));
    if (place) open(place);
  },
  component: NotFound,
});

/** Keeps an address readable: characters that a query may hold as they are stay so. */
function stringifySearch(search: Record<string, unknown>): string {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (typeof value === "string" && value !== "") out.set(name, value);
  }
  const text = out.toString().replace(/%(3A|2C|2F|40|3F|24)/g, (code) => decodeURIComponent(code));
  return text === "" ? "" : `?${text}`;
}

/** The router of the console. */
export const router = createRouter({
  routeTree: root.addChildren([home, traces, trace, logs, group, map, anyQuery, query, elsewhere]),
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch,
  defaultPreload: "intent",
  defaultErrorComponent: PageError,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

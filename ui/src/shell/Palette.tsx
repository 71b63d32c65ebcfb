import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CornerDownLeft, Database, ListTree, Logs, type LucideIcon, Search } from "lucide-react";
import { useDeferredValue, useId, useState } from "react";
import { ApiError, get } from "../api/client";
import type { Dataset, LogGroup } from "../api/contract";
import { Modal } from "../kit";

interface Choice {
  id: string;
  name: string;
  kind: string;
  icon: LucideIcon;
  go: () => void;
}

type PagePath = "/" | "/q" | "/traces" | "/logs" | "/map";

/** Shorter text cannot hold a trace id in any spelling. */
const SHORTEST_ID = 32;

/** Finds a page, a log group, a dataset, or the trace whose id is in the text. A pasted id opens its trace at once. */
export function Palette({
  pages,
  onClose,
}: {
  pages: readonly { to: PagePath; name: string; icon: LucideIcon }[];
  onClose: () => void;
}) {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useId();
  const wanted = useDeferredValue(text.trim());

  const groups = useQuery({
    queryKey: ["log-groups", ""],
    queryFn: ({ signal }) => get<{ groups: LogGroup[] }>("logs/groups", {}, signal),
  });
  const datasets = useQuery({
    queryKey: ["datasets"],
    queryFn: ({ signal }) => get<{ datasets: Dataset[] }>("datasets", {}, signal),
  });
  const mayHoldId = wanted.length >= SHORTEST_ID;
  const lookup = useQuery({
    queryKey: ["lookup", wanted],
    enabled: mayHoldId,
    retry: false,
    queryFn: ({ signal }) => get<{ trace_id: string }>("lookup", { q: wanted }, signal),
  });

  const openTrace = (id: string) => {
    onClose();
    void navigate({ to: "/traces/$id", params: { id } });
  };
  const choices: Choice[] = [];
  if (mayHoldId && lookup.data) {
    const id = lookup.data.trace_id;
    choices.push({ id: "trace", name: id, kind: "Open trace", icon: ListTree, go: () => openTrace(id) });
  }
  const lower = wanted.toLowerCase();
  const matches = (name: string) => name.toLowerCase().includes(lower);
  for (const page of pages) {
    if (matches(page.name))
      choices.push({
        id: page.to,
        name: page.name,
        kind: "Page",
        icon: page.icon,
        go: () => {
          onClose();
          void navigate({ to: page.to });
        },
      });
  }
  for (const group of (groups.data?.groups ?? []).filter((g) => matches(g.name)).slice(0, 8)) {
    choices.push({
      id: `group ${group.name}`,
      name: group.name,
      kind: "Log group",
      icon: Logs,
      go: () => {
        onClose();
        void navigate({ to: "/logs/groups/$group", params: { group: group.name } });
      },
    });
  }
  for (const dataset of (datasets.data?.datasets ?? [])
    .filter((d) => d.kind === "honeycomb" && matches(d.name))
    .slice(0, 8)) {
    choices.push({
      id: `dataset ${dataset.slug}`,
      name: dataset.name,
      kind: "Query dataset",
      icon: Database,
      go: () => {
        onClose();
        void navigate({ to: "/q/$dataset", params: { dataset: dataset.slug } });
      },
    });
  }
  const active = Math.min(at, choices.length - 1);

  let note = "";
  if (mayHoldId && choices.length === 0) {
    if (lookup.isFetching) note = "Looking for the trace…";
    else if (lookup.error instanceof ApiError && lookup.error.status !== 404) note = lookup.error.message;
    else note = "No trace with this id is stored here.";
  } else if (choices.length === 0) note = "Nothing by this name.";

  return (
    <Modal label="Find" onClose={onClose} className="palette">
      <div className="palette-field">
        <Search size={15} aria-hidden />
        <input
          // biome-ignore lint/a11y/noAutofocus: the dialog opens on request, to type into this field
          autoFocus
          role="combobox"
          aria-label="Find a trace, log group or page"
          aria-expanded={choices.length > 0}
          aria-controls={list}
          aria-activedescendant={choices[active] ? `${list}-${active}` : undefined}
          placeholder="Trace id in any spelling, page, log group, dataset"
          value={text}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => {
            setText(event.target.value);
            setAt(0);
          }}
          onPaste={async (event) => {
            const pasted = event.clipboardData.getData("text").trim();
            if (pasted.length < SHORTEST_ID) return;
            try {
              openTrace((await get<{ trace_id: string }>("lookup", { q: pasted })).trace_id);
            } catch {
              // The list says that there is no such trace.
            }
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown" || event.key === "ArrowUp") {
              event.preventDefault();
              const step = event.key === "ArrowDown" ? 1 : -1;
              if (choices.length > 0) setAt((active + step + choices.length) % choices.length);
            } else if (event.key === "Enter") {
              event.preventDefault();
              choices[active]?.go();
            }
          }}
        />
        <kbd>Esc</kbd>
      </div>
      <div role="listbox" id={list} aria-label="Found" className="palette-list">
        {choices.map((choice, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: Enter in the field acts on the active choice
          <div
            key={choice.id}
            id={`${list}-${i}`}
            role="option"
            aria-selected={i === active}
            className="palette-choice"
            onMouseMove={() => setAt(i)}
            onClick={choice.go}
          >
            <choice.icon size={14} strokeWidth={1.75} aria-hidden />
            <span className="cut grow">{choice.name}</span>
            <span className="dim">{choice.kind}</span>
            {i === active && <CornerDownLeft size={12} aria-hidden />}
          </div>
        ))}
      </div>
      {note && (
        <p className="palette-note" role="status">
          {note}
        </p>
      )}
    </Modal>
  );
}

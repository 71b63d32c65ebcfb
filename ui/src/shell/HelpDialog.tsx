import { X } from "lucide-react";
import { Modal } from "../kit";
import { setPreferences, usePreferences } from "./preferences";

const GROUPS: { name: string; keys: [string[], string][] }[] = [
  {
    name: "Everywhere",
    keys: [
      [["?"], "This list"],
      [["/"], "Focus the filter"],
      [["⌘", "K"], "Find a trace, group or page"],
      [["g", "h"], "Home"],
      [["g", "q"], "Query"],
      [["g", "t"], "Traces"],
      [["g", "l"], "Logs"],
      [["g", "m"], "Map"],
      [["t"], "Time range"],
      [["<"], "Half a window earlier"],
      [[">"], "Half a window later"],
      [["-"], "Wider window"],
      [["+"], "Narrower window"],
      [["u"], "UTC or local time"],
      [["r"], "Refresh"],
    ],
  },
  {
    name: "Lists and logs",
    keys: [
      [["j"], "Next trace"],
      [["k"], "Previous trace"],
      [["w"], "Wrap log lines"],
      [["⌘", "↵"], "Run the query"],
    ],
  },
  {
    name: "Waterfall",
    keys: [
      [["↑"], "Row above"],
      [["↓"], "Row below"],
      [["→"], "Expand, or first child"],
      [["←"], "Collapse, or parent"],
      [["["], "Collapse all"],
      [["]"], "Expand all"],
      [["e"], "Next error"],
      [["E"], "Previous error"],
      [["f"], "Find"],
      [["n"], "Next match"],
      [["N"], "Previous match"],
      [["c"], "Critical path"],
      [["y"], "Copy link"],
      [["0"], "Whole trace"],
      [["Esc"], "Close the panel"],
    ],
  },
];

/** The list of keys, and the switch that turns single keys off. */
export function HelpDialog({ onClose }: { onClose: () => void }) {
  const { keys } = usePreferences();
  return (
    <Modal label="Keyboard shortcuts" onClose={onClose} className="help-dialog">
      <div className="modal-head">
        <h2>Keyboard shortcuts</h2>
        <button type="button" className="btn quiet icon small" aria-label="Close" onClick={onClose}>
          <X size={14} aria-hidden />
        </button>
      </div>
      <div className="help-groups">
        {GROUPS.map((group) => (
          <section key={group.name} aria-label={group.name}>
            <h3>{group.name}</h3>
            <dl>
              {group.keys.map(([names, what]) => (
                <div key={what}>
                  <dt>{what}</dt>
                  <dd>
                    {names.map((name) => (
                      <kbd key={name}>{name}</kbd>
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label className="help-foot">
        <input type="checkbox" checked={keys} onChange={(event) => setPreferences({ keys: event.target.checked })} />
        Single-key shortcuts
      </label>
    </Modal>
  );
}

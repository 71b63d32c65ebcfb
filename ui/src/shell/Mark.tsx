/** The mark: a three-leaf trefoil in the hues of the three sources. */
export function Mark({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" aria-hidden className="mark">
      <circle cx="12" cy="7.4" r="5" style={{ fill: "var(--otlp)" }} />
      <circle cx="7.2" cy="15.4" r="5" style={{ fill: "var(--xray)" }} />
      <circle cx="16.8" cy="15.4" r="5" style={{ fill: "var(--logs)" }} />
    </svg>
  );
}

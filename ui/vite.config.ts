import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The address of the server that `npm run dev` forwards API calls to.
const api = process.env.TREFOIL_URL ?? "http://127.0.0.1:8734";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    // data: URIs would need an exception in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    emptyOutDir: true,
  },
  test: { include: ["src/**/*.test.ts"] },
  server: { proxy: { "/api": api } },
});

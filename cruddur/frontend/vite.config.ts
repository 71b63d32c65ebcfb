import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // REACT_APP_BACKEND_URL is the name that the tutorial's compose file uses.
  envPrefix: ["VITE_", "REACT_APP_"],
});

interface ImportMetaEnv {
  readonly VITE_BACKEND_URL?: string;
  readonly REACT_APP_BACKEND_URL?: string;
}

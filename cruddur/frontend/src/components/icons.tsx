import type { ReactNode } from "react";

// Line icons drawn for this app on a 24-unit grid.

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      {children}
    </svg>
  );
}

export const LogoIcon = () => (
  <svg className="logo-mark" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="9" fill="#9500ff" />
    <path d="M22 11.5a7.5 7.5 0 1 0 0 9" fill="none" stroke="#fff" strokeWidth="3.6" strokeLinecap="round" />
    <circle cx="23" cy="16" r="2.2" fill="#fff" />
  </svg>
);
export const HomeIcon = () => <Icon><path d="M4 11 12 4l8 7v8.5h-5.5v-5h-5v5H4z" /></Icon>;
export const NotificationsIcon = () => <Icon><path d="M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5h4" /></Icon>;
export const MessagesIcon = () => <Icon><path d="M3.5 6h17v12h-17zM4 6.5l8 6.5 8-6.5" /></Icon>;
export const ProfileIcon = () => <Icon><circle cx="12" cy="8.5" r="4" /><path d="M4.5 20c.6-4 3.6-6 7.5-6s6.9 2 7.5 6" /></Icon>;
export const MoreIcon = () => <Icon><circle cx="5.5" cy="12" r=".8" /><circle cx="12" cy="12" r=".8" /><circle cx="18.5" cy="12" r=".8" /></Icon>;
export const ReplyIcon = () => <Icon><path d="M4 5.5h16v10h-9l-4.5 4v-4H4z" /></Icon>;
export const RepostIcon = () => <Icon><path d="M4 14V9.5a2.5 2.5 0 0 1 2.5-2.5H18M15 4l3 3-3 3M20 10v4.5a2.5 2.5 0 0 1-2.5 2.5H6M9 20l-3-3 3-3" /></Icon>;
export const LikeIcon = () => <Icon><path d="M12 19.5C6.5 15.5 4 12.7 4 9.5A4 4 0 0 1 12 8a4 4 0 0 1 8 1.5c0 3.2-2.5 6-8 10z" /></Icon>;
export const ShareIcon = () => <Icon><path d="M12 15V4M8.5 7 12 3.5 15.5 7M5 13v6.5h14V13" /></Icon>;
export const SearchIcon = () => <Icon><circle cx="10.5" cy="10.5" r="6" /><path d="m15 15 5 5" /></Icon>;
export const CloseIcon = () => <Icon><path d="m6 6 12 12M18 6 6 18" /></Icon>;
export const ClockIcon = () => <Icon><circle cx="12" cy="12" r="8" /><path d="M12 7.5V12l3 2" /></Icon>;

/** What an operator is told while a command is under way. */
export type CommandStep =
  | { kind: 'qr'; value: string; expiresAt: string }
  | { kind: 'code'; code: string; expiresAt: string }
  | { kind: 'state'; state: string; message: string }
  | { kind: 'database made'; message: string }

/** Whoever waits for a command. */
export type Follower = {
  /** Says how far it is. */
  tell(step: CommandStep): void
  /** Nobody waits any more. */
  signal: AbortSignal
}

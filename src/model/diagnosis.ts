/** One thing that was looked at: what was found, and what to do about it. */
export type Diagnosis = {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'failed';
  readonly text: string;
  readonly hint: string | null;
};

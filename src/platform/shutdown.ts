/** Fires once on SIGINT, SIGTERM, or when the parent process that forked us is gone. */
export function shutdownSignal(): AbortSignal {
  const controller = new AbortController();
  const fire = (): void => controller.abort();
  process.once('SIGINT', fire);
  process.once('SIGTERM', fire);
  if (process.channel) {
    process.once('disconnect', fire);
    // The channel is there to tell of the parent's end, not to keep us alive when our work is done.
    process.channel.unref();
  }
  return controller.signal;
}

export async function untilFired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

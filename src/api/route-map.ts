// Which methods a path has: the router only says that it found nothing.
import type { ApiApp } from './api-parts.ts';

export type RouteMap = {
  /** Sorted; empty when there is no such path. */
  methodsFor(path: string): readonly string[];
};

type Known = { readonly segments: readonly string[]; readonly method: string };

/** Must run before the routes are added that it is to know. */
export function mapRoutes(app: ApiApp): RouteMap {
  const known: Known[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    const methods = Array.isArray(method) ? method : [method];
    for (const each of methods) known.push({ segments: split(url), method: each });
  });
  return {
    methodsFor(path) {
      const segments = split(path);
      const found = known.filter((route) => matches(route.segments, segments));
      return [...new Set(found.map(({ method }) => method))].sort();
    },
  };
}

function split(path: string): readonly string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.at(-1) === '*')
    return matches(pattern.slice(0, -1), segments.slice(0, pattern.length - 1));
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => part.startsWith(':') || part === segments[index])
  );
}

// One T-SQL statement with its values beside it, independent of the driver that sends it: through
// `sp_executesql`, one statement a call, outside a transaction (BACKUP refuses to run in one).
import { Secret } from '../../model/secret.ts';

/** Lengths count UTF-16 units, as the server does. A date is a moment, sent as UTC. */
export type SqlParameter =
  /** The server's type of names: nvarchar(128), never null. */
  | { readonly name: string; readonly type: 'sysname'; readonly value: string }
  | {
      readonly name: string;
      readonly type: 'nvarchar' | 'varchar';
      readonly lengthMax: number;
      readonly value: string;
    }
  | { readonly name: string; readonly type: 'int'; readonly value: number }
  | { readonly name: string; readonly type: 'datetime2'; readonly value: Date };

export type SqlStatement = {
  /** What it is for, `backup-database`; safe for logs, and the same for the same kind of text. */
  readonly name: string;
  /** A `Secret` where the text holds one: such a statement takes no parameters. */
  readonly text: string | Secret;
  readonly parameters: readonly SqlParameter[];
};

/** The text to send; call it at the last moment, it may hold a secret. */
export function statementText({ text }: SqlStatement): string {
  return text instanceof Secret ? text.reveal() : text;
}

/** Collects the parameters of a statement while its text is written. */
export class ParameterList {
  readonly #items: SqlParameter[] = [];

  /** @returns what stands for the value in the text: `@database` */
  sysname(name: string, value: string): string {
    return this.#add({ name, type: 'sysname', value });
  }

  text(name: string, value: string, lengthMax: number): string {
    return this.#add({ name, type: 'nvarchar', lengthMax, value });
  }

  /** For the few places that take no nvarchar. */
  ascii(name: string, value: string, lengthMax: number): string {
    return this.#add({ name, type: 'varchar', lengthMax, value });
  }

  int(name: string, value: number): string {
    return this.#add({ name, type: 'int', value });
  }

  moment(name: string, value: Date): string {
    return this.#add({ name, type: 'datetime2', value });
  }

  get items(): readonly SqlParameter[] {
    return this.#items;
  }

  #add(parameter: SqlParameter): string {
    this.#items.push(parameter);
    return `@${parameter.name}`;
  }
}

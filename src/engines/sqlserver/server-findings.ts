// What the facts of a server mean for backups, each with the statement that mends it (SQL Server
// documentation, "BACKUP", "Permissions", "Recovery models"). Pure.
import { sqlServerYear } from '../../model/sqlserver-version.ts';
import type { Finding } from '../engine.ts';
import { blocking, checkTls, fine, warning } from '../findings.ts';
import { checkExchange } from './exchange-findings.ts';
import { quoteIdentifier } from './identifier.ts';
import type { ExchangeFacts } from './inspect-exchange.ts';
import type { DatabaseRights, ServerFacts } from './inspect-facts.ts';
import { foreignDays } from './inspect-facts.ts';
import { listNames, listStatements } from './name-list.ts';
import { isBeingRestored } from './restore-names.ts';
import type { FoundDatabase } from './server-databases.ts';
import { isSystemDatabase, whyNotBackedUp } from './server-databases.ts';
import type { ServerInfo } from './server-info.ts';
import { engineEditions } from './server-traits.ts';

export type ServerState = {
  readonly host: string;
  readonly facts: ServerFacts;
  readonly exchange: ExchangeFacts;
};

const tlsHint =
  'leave encrypt=false out: the server then encrypts, and ca=/path/ca.pem verifies it';
/** 2016. */
const majorMin = 13;

export function planFindings({ host, facts, exchange }: ServerState): readonly Finding[] {
  const users = facts.databases.filter(
    ({ name, isSnapshot }) => !isSystemDatabase(name) && !isSnapshot && !isBeingRestored(name),
  );
  const online = users.filter((database) => whyNotBackedUp(database) === null);
  const rights = facts.databaseRights.filter(({ name }) => online.some((one) => one.name === name));
  return [
    checkVersion(facts.info),
    checkTls(host, facts.isEncrypted, tlsHint),
    checkDatabases(users, online),
    ...checkRecoveryModel(online),
    ...checkLogChain(online),
    checkBackupRights(rights, facts.rights.login),
    ...checkLogRights(rights, facts.rights.login),
    checkHistoryRight(facts),
    ...checkStateRight(facts),
    checkRestoreRights(facts),
    ...checkExchange(exchange, facts),
    ...checkEncryption(facts),
    ...checkOtherBackups(facts),
    ...checkReplicas(facts, online),
  ];
}

/** `SERVERPROPERTY('EngineEdition')` of what has no backups of this kind, or none that we know. */
const otherServices: Readonly<Record<number, string>> = {
  [engineEditions.azureDatabase]: 'Azure SQL Database, which has no BACKUP',
  6: 'Azure Synapse Analytics, which has no BACKUP',
  [engineEditions.azureManagedInstance]:
    'Azure SQL Managed Instance, which takes copies to Azure storage only',
  11: 'Azure Synapse serverless, which has no BACKUP',
  12: 'a SQL database in Fabric, which has no BACKUP',
};

export function checkVersion({
  version,
  majorVersion,
  edition,
  engineEdition,
}: ServerInfo): Finding {
  const other = otherServices[engineEdition];
  if (other !== undefined) {
    const hint = 'rely on the backups of the cloud provider, or export the databases';
    return blocking('version', `the server is ${other}`, hint);
  }
  const found = `the server is SQL Server ${sqlServerYear(version)} (${version}), ${edition}`;
  if (majorVersion < majorMin) {
    return blocking('version', `${found}; 2016 and later are supported`, 'upgrade the server');
  }
  const text = `${found}; Cairn follows its documentation, but was not run with a real SQL Server`;
  return warning('version', text, 'try a restore of each kind before you rely on it');
}

function checkDatabases(
  users: readonly FoundDatabase[],
  online: readonly FoundDatabase[],
): Finding {
  const check = 'databases';
  const left = users.filter((database) => whyNotBackedUp(database) !== null);
  if (users.length === 0) {
    const text = 'the server has no database of its users, or the login sees none';
    return warning(check, text, 'GRANT VIEW ANY DATABASE to the login if there are some');
  }
  if (left.length === 0) return fine(check, `${online.length} databases are online`);
  const names = listNames(
    left.map(({ name, state, isInStandby }) => `${name} (${isInStandby ? 'STANDBY' : state})`),
  );
  const text = `not online, so left out of backups: ${names}`;
  return warning(check, text, 'ALTER DATABASE … SET ONLINE, or end what restores them');
}

function checkRecoveryModel(online: readonly FoundDatabase[]): readonly Finding[] {
  const simple = online.filter(({ recoveryModel }) => recoveryModel === 'SIMPLE');
  if (simple.length === 0) return [];
  const names = simple.map(({ name }) => name);
  const text = `no moment between backups can be restored of ${listNames(names)}: recovery SIMPLE`;
  const mend = listStatements(
    names,
    (name) => `ALTER DATABASE ${quoteIdentifier(name)} SET RECOVERY FULL`,
  );
  return [warning('recovery-model', text, `${mend}; then take a full backup`)];
}

function checkLogChain(online: readonly FoundDatabase[]): readonly Finding[] {
  const logged = online.filter(({ recoveryModel }) => recoveryModel !== 'SIMPLE');
  const without = logged.filter(({ hasLogChain }) => hasLogChain === false);
  const unknown = logged.filter(({ hasLogChain }) => hasLogChain === null);
  if (without.length > 0) {
    const names = listNames(without.map(({ name }) => name));
    const text = `the log cannot be backed up before the first full backup of ${names}`;
    return [
      warning('log-chain', text, 'take a full backup; the server keeps the log from then on'),
    ];
  }
  if (unknown.length === 0) return [];
  const text = `hidden from the login: whether ${unknown.length} databases have a full backup`;
  return [warning('log-chain', text, 'GRANT VIEW ANY DEFINITION to the login')];
}

function checkBackupRights(rights: readonly DatabaseRights[], login: string): Finding {
  const check = 'rights-backup';
  const lacking = rights.filter(({ mayBackUp }) => !mayBackUp);
  if (lacking.length === 0) return fine(check, 'the login may back up every database');
  const names = listNames(lacking.map(({ name }) => name));
  const text = `the login may not back up ${names}`;
  const hint = grantBackup(lacking, login);
  if (lacking.length === rights.length) return blocking(check, text, hint);
  return warning(check, `${text}: a backup of all databases fails`, hint);
}

function checkLogRights(rights: readonly DatabaseRights[], login: string): readonly Finding[] {
  const lacking = rights.filter(({ mayBackUp, mayBackUpLog }) => mayBackUp && !mayBackUpLog);
  if (lacking.length === 0) return [];
  const names = listNames(lacking.map(({ name }) => name));
  const text = `the login may not back up the log of ${names}`;
  return [warning('rights-log', text, grantBackup(lacking, login))];
}

function grantBackup(lacking: readonly DatabaseRights[], login: string): string {
  const who = quoteIdentifier(login);
  return listStatements(lacking, ({ name, hasAccess }) => {
    const user = hasAccess ? '' : `CREATE USER ${who} FOR LOGIN ${who}; `;
    return `USE ${quoteIdentifier(name)}; ${user}ALTER ROLE db_backupoperator ADD MEMBER ${who}`;
  });
}

/** Without it nobody knows whether a backup was taken. */
function checkHistoryRight({ rights }: ServerFacts): Finding {
  const check = 'rights-history';
  if (rights.mayReadHistory) return fine(check, 'the login may read the history of backups');
  const who = quoteIdentifier(rights.login);
  const hint =
    `USE msdb; CREATE USER ${who} FOR LOGIN ${who}; ` +
    `GRANT SELECT ON dbo.backupset TO ${who}; GRANT SELECT ON dbo.backupmediafamily TO ${who}`;
  return blocking(check, 'the login may not read the history of backups in msdb', hint);
}

function checkStateRight({ rights }: ServerFacts): readonly Finding[] {
  if (rights.mayViewState) return [];
  const text =
    'the login may not see the state of the server: encryption and replicas stay unknown';
  // From 2022 on there are narrower ones, for performance and for security: this one is both.
  const hint = `GRANT VIEW SERVER STATE TO ${quoteIdentifier(rights.login)}`;
  return [warning('rights-state', text, hint)];
}

function checkRestoreRights({ rights }: ServerFacts): Finding {
  const check = 'rights-restore';
  if (rights.isDbCreator) return fine(check, 'the login may restore databases, and verify backups');
  const who = quoteIdentifier(rights.login);
  if (rights.mayCreateDatabase) {
    return fine(check, 'the login may verify backups, and restore databases under new names');
  }
  const text =
    'the login may not create databases: what it backs up is confirmed by the history alone, ' +
    'without RESTORE VERIFYONLY, and it restores nothing';
  return warning(check, text, `GRANT CREATE ANY DATABASE TO ${who}`);
}

function checkEncryption({ encrypted, databases }: ServerFacts): readonly Finding[] {
  const check = 'encryption';
  if (encrypted === null) {
    const names = databases.filter(({ isEncrypted }) => isEncrypted).map(({ name }) => name);
    if (names.length === 0) return [];
    const text = `${listNames(names)}: encrypted, and their backups with them`;
    return [
      warning(check, text, 'keep the certificate and its private key apart from the backups'),
    ];
  }
  return encrypted.map(({ name, certificate, keySavedAt }) => {
    if (certificate !== null && keySavedAt !== null) {
      const text = `${name} is encrypted by ${certificate}, whose key was saved at ${keySavedAt}`;
      return fine(check, `${text}: a restore elsewhere needs it`);
    }
    if (certificate === null) {
      const text = `${name} is encrypted, and the login does not see by what`;
      return warning(check, text, 'keep its key apart from the backups: no restore without it');
    }
    const text = `${name} is encrypted by ${certificate}, whose private key was never saved`;
    const hint =
      `USE master; BACKUP CERTIFICATE ${quoteIdentifier(certificate)} TO FILE = '…' ` +
      `WITH PRIVATE KEY (FILE = '…', ENCRYPTION BY PASSWORD = '…')`;
    return warning(check, `${text}: without it no other server restores a backup`, hint);
  });
}

function checkOtherBackups({ otherBackups }: ServerFacts): readonly Finding[] {
  const found = otherBackups ?? [];
  return (['log', 'full'] as const).flatMap((kind) => {
    const some = found.filter((backup) => backup.kind === kind);
    const [last] = some;
    if (last === undefined) return [];
    const names = listNames([...new Set(some.map(({ database }) => database))]);
    const who = `last by ${last.user} at ${last.finishedAt}, by the server's clock`;
    const days = `in the last ${foreignDays} days`;
    return kind === 'log'
      ? warning(
          'other-log-backups',
          `other backups of the log of ${names} ${days} (${who}): each takes log away from ours`,
          'let only one of both back up the log',
        )
      : warning(
          'other-full-backups',
          `other full backups of ${names} ${days} (${who}): no differential of ours follows one`,
          'let the others be COPY_ONLY',
        );
  });
}

function checkReplicas(
  { info, replicas }: ServerFacts,
  online: readonly FoundDatabase[],
): readonly Finding[] {
  const check = 'availability-groups';
  const grouped = online.filter(({ isInGroup }) => isInGroup);
  if (!info.isHadrEnabled || grouped.length === 0) return [];
  if (replicas === null) {
    const names = listNames(grouped.map(({ name }) => name));
    const text = `${names}: of availability groups, and their role here is hidden from the login`;
    return [warning(check, text, 'GRANT VIEW SERVER STATE to the login')];
  }
  const named = (role: 'primary' | 'secondary'): readonly string[] =>
    replicas
      .filter((one) => one.role === role)
      .map(({ database, group }) => `${database} (${group})`);
  const [primary, secondary] = [named('primary'), named('secondary')];
  return [
    ...(primary.length === 0 ? [] : [fine(check, `primary replica of ${listNames(primary)}`)]),
    ...(secondary.length === 0
      ? []
      : [
          warning(
            check,
            `secondary replica of ${listNames(secondary)}: full backups are copies there`,
            'register the other replicas too, each by its own name and not by the listener',
          ),
        ]),
  ];
}

import type { Command } from 'commander';
import type { ManagedProjectResponse } from '../api/schema/project.ts';
import { CairnError } from '../model/errors.ts';
import { findProject, listProjects } from './find-identity.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

export function addProjectCommands(root: Command, program: Program, output: Output): void {
  const group = root
    .command('project')
    .description('projects keep servers and backups of different people apart');
  withCommon(group.command('list').description('list the projects')).action(
    async (options: CommonOptions) => {
      const projects = await listProjects(await openService(options, program));
      if (options.json) return output.json({ projects });
      output.table([['ID', 'NAME'], ...projects.map(({ id, name }) => [id, name])]);
    },
  );
  withCommon(group.command('add').description('make a project'))
    .argument('<name>', '1 to 64 letters, digits, - and _')
    .action(async (name: string, options: CommonOptions) => {
      const service = await openService(options, program);
      const answer = await service.manage<ManagedProjectResponse>('POST', '/projects', { name });
      if (options.json) output.json(answer);
      else output.print(`${answer.project.id}\n`);
    });
  withCommon(group.command('remove').description('remove a project that has nothing in it'))
    .argument('<id-or-name>')
    .action(async (text: string, options: CommonOptions) => {
      const service = await openService(options, program);
      const project = await findProject(service, text);
      if (project.id === service.projectId) {
        throw new CairnError('invalid', `${project.name} is the project of these credentials`, {
          hint: 'put another project_id into the credentials file first',
        });
      }
      await service.manage('DELETE', `/projects/${project.id}`);
      if (options.json) output.json({ project });
      else output.print(`removed ${project.name}\n`);
    });
}

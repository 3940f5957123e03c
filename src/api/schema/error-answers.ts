import { refTo } from './define.ts';
import { ErrorSchema } from './error.ts';

/** Every route answers failures in this form. */
export const errorAnswers = { '4xx': refTo(ErrorSchema), '5xx': refTo(ErrorSchema) };

// The master key wraps everything secret that Cairn keeps: the repository's data keys and the
// passwords in the catalog. AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce: fewer than
// 2^32 wraps per key are expected.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { CairnError } from '../model/errors.ts';

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

export class MasterKey {
  readonly #key: Buffer;
  /** First 16 hex digits of SHA-256 over the key: names the key without giving it away. */
  readonly id: string;

  private constructor(key: Buffer) {
    this.#key = key;
    this.id = createHash('sha256')
      .update('cairn master key')
      .update(key)
      .digest('hex')
      .slice(0, 16);
  }

  static generate(): MasterKey {
    return new MasterKey(randomBytes(keyBytes));
  }

  /** @throws invalid when the text is not 64 hex digits */
  static parse(text: string): MasterKey {
    if (!/^[0-9a-fA-F]{64}$/.test(text.trim())) {
      throw new CairnError('invalid', 'the master key must be 64 hexadecimal digits');
    }
    return new MasterKey(Buffer.from(text.trim(), 'hex'));
  }

  /** 64 hex digits: the recovery kit prints it, nothing else does. */
  reveal(): string {
    return this.#key.toString('hex');
  }

  /**
   * A key of 32 bytes for one purpose (HKDF-SHA-256, RFC 5869): the same on every replica, and it
   * gives neither the master key nor another purpose's key away.
   */
  deriveKey(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#key, '', `cairn/derived/${purpose}`, keyBytes));
  }

  /**
   * `nonce ‖ ciphertext ‖ tag`; the context (what the bytes are for) is authenticated, not stored.
   */
  wrap(plain: Uint8Array, context: string): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(context));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws repository-damaged when key, context or bytes are not those of the wrapping */
  unwrap(wrapped: Uint8Array, context: string): Buffer {
    const bytes = Buffer.from(wrapped);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, nonceBytes));
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
      const body = bytes.subarray(nonceBytes, bytes.length - tagBytes);
      return Buffer.concat([decipher.update(body), decipher.final()]);
    } catch (cause) {
      throw new CairnError(
        'repository-damaged',
        `cannot unwrap ${context} with master key ${this.id}`,
        {
          hint: 'the master key is not the one that wrapped it, or the stored bytes are damaged',
          cause,
        },
      );
    }
  }
}

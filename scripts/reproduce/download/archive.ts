// Whether a zip file that came from elsewhere may be read: it is never unpacked onto the disk, its one file is read where it lies.
import { openRegular } from '../../../lib/data/formats/file.ts';
import { onlyMember, packingOf } from '../../../lib/data/packed.ts';
import { DownloadError } from './download-error.ts';

/** Text of ids packs to a fifth or so. */
const MOST_RATIO = 100;

/**
 * @param mostBytes what the file in it may have, unpacked
 * @throws {DownloadError, HyperKnowError} if it is no zip file of one plain file of a believable size
 */
export async function checkArchive(path: string, name: string, mostBytes: number): Promise<void> {
  const handle = await openRegular(path);
  try {
    if ((await packingOf(handle)) !== 'zip') throw new DownloadError('refused', `${name}: is no zip file`);
    const { bytes, packedBytes } = await onlyMember(handle, (await handle.stat()).size, name);
    if (bytes > MOST_RATIO * packedBytes)
      throw new DownloadError('refused', `${name}: would expand to ${bytes} bytes, more than ${MOST_RATIO} times its size`);
    if (bytes > mostBytes) throw new DownloadError('refused', `${name}: would expand to ${bytes} bytes, at most are ${mostBytes}`);
  } finally {
    await handle.close();
  }
}

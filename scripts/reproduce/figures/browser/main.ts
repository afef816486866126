// What runs in the report's page: hints and switches of the charts, and the disk.
import type { Disk } from '../types.ts';
import { enhanceCharts } from './charts.ts';
import { DiskView } from './disk-view.ts';

enhanceCharts(document);
const section = document.querySelector<HTMLElement>('#disk-view');
const data = document.querySelector('#disk-data');
if (section && data) new DiskView(section, JSON.parse(data.textContent ?? '') as Disk & { captions: string[] });

/**
 * The shapes of the HTTP interface, for JSDoc only; docs/http-api.md explains them.
 *
 * @typedef {{reference: string, message: string, cause?: string, hint?: string, exit_code?: number,
 *   facts?: Record<string, any>}} ErrorRecord
 *
 * @typedef {string | number | boolean | null | (string | number)[]} Value
 * @typedef {Record<string, Value>} Args  option keys with the values that differ from the settings in force
 *
 * @typedef {object} Option
 * @property {string} key
 * @property {string} flag
 * @property {'text' | 'int' | 'float' | 'flag' | 'path'} kind
 * @property {string} help
 * @property {string} section
 * @property {Value} default
 * @property {Value} value  in force: from the layer
 * @property {'default' | 'ini' | 'environment' | 'flag'} layer
 * @property {boolean} is_list
 * @property {number | null} most_items
 * @property {(string | number)[]} choices
 * @property {number | null} minimum
 * @property {number | null} maximum
 * @property {number | null} step
 * @property {string} metavar
 * @property {string | null} processor
 * @property {string} no_effect
 *
 * @typedef {{name: string, title: string, options: Option[]}} Section
 * @typedef {{name: string, title: string, options: string[], takes_sources: boolean,
 *   takes_audio: boolean}} Processor
 * @typedef {{version: string, sections: Section[], processors: Processor[]}} OptionsReply
 *
 * @typedef {{version: number, args: Args}} DraftRecord
 *
 * @typedef {'image' | 'video' | 'audio' | 'other'} MediaKind
 * @typedef {{path: string, kind: MediaKind, width: number | null, height: number | null, frames: number | null,
 *   fps: number | null, seconds: number | null, has_audio: boolean, has_alpha: boolean, remarks: string[]}} Media
 * @typedef {{path: string, kind: MediaKind, problems: string[], is_usable: boolean, faces: number | null}} SourceFitness
 * @typedef {{name: string, path: string, kind: 'folder' | MediaKind, size: number | null, modified: number | string}} Entry
 * @typedef {{dir: string, parent: string | null, roots: string[], entries: Entry[], more: number | boolean}} Listing
 *
 * @typedef {{index: number, box: [number, number, number, number], score: number, is_selected: boolean,
 *   reason: string | null, position: number | null, gender: string | null, age: number[] | null}} Face
 * @typedef {{width: number, height: number, faces: Face[]}} FaceReply
 *
 * @typedef {{level: string, origin: string, text: string}} Remark
 * @typedef {{plan: Record<string, any>, remarks: Remark[], seconds: number | null, limit_exceeded: boolean}} PlanReply
 *
 * @typedef {{stage: string, done: number, total: number | null, rate: number | null, seconds_left: number | null,
 *   detail?: any}} Progress
 * @typedef {{id: string, state: string, steps: number, step_index: number | null, progress: Progress | null,
 *   output_paths: string[], worker: any} & Record<string, any>} JobSummary
 */

export {};

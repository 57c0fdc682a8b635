import { mergeConfig } from "vitest/config";
import config from "../../vitest.config.ts";

export default mergeConfig(config, {
  test: {
    setupFiles: ["tools/coverage/setup.ts"],
    // Node imports the files as they are: what Vite makes of them has other lines.
    experimental: { viteModuleRunner: false },
  },
});

// One moving vertex per invocation: position += sum over the expressions in use of weight * offset.
layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer Moving { int moving[]; };         // (M,) vertices that expressions move
layout(std430, binding = 1) readonly buffer Offsets { float offsets[]; };     // (53, M, 3)
layout(std430, binding = 2) buffer Positions { float positions[]; };          // (V, 3), neutral before
uniform int u_moving;          // M
uniform int u_count;           // expressions in use
uniform int u_rows[53];
uniform float u_weights[53];

void main() {
    int m = int(gl_GlobalInvocationID.x);
    if (m >= u_moving) return;
    vec3 sum = vec3(0.0);
    for (int k = 0; k < u_count; k++) {
        int at = 3 * (u_rows[k] * u_moving + m);
        sum += u_weights[k] * vec3(offsets[at], offsets[at + 1], offsets[at + 2]);
    }
    int to = 3 * moving[m];
    for (int axis = 0; axis < 3; axis++) positions[to + axis] += sum[axis];
}

// Area-weighted vertex normals from each vertex's ring of triangles; writes position and normal interleaved.
layout(local_size_x = 64) in;
layout(std430, binding = 2) readonly buffer Positions { float positions[]; };
layout(std430, binding = 3) readonly buffer Starts { int starts[]; };
layout(std430, binding = 4) readonly buffer Corners { int corners[]; };
layout(std430, binding = 5) writeonly buffer Moved { float moved[]; };
uniform int u_vertices;

vec3 at(int v) { return vec3(positions[3 * v], positions[3 * v + 1], positions[3 * v + 2]); }

void main() {
    int v = int(gl_GlobalInvocationID.x);
    if (v >= u_vertices) return;
    vec3 p = at(v), sum = vec3(0.0);
    for (int k = starts[v]; k < starts[v + 1]; k++)
        sum += cross(at(corners[2 * k]) - p, at(corners[2 * k + 1]) - p);
    vec3 n = sum / max(length(sum), 1e-9);
    for (int axis = 0; axis < 3; axis++) {
        moved[6 * v + axis] = p[axis];
        moved[6 * v + 3 + axis] = n[axis];
    }
}
